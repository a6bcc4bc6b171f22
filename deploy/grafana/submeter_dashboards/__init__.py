"""Three Grafana dashboards as code: metrics of submeter in, dashboard JSON out."""
