"""The chart in, the same for `kubectl apply` out: its defaults, in a namespace of its own.

python deploy/kubernetes/plain.py helm > deploy/kubernetes/submeter.yaml
"""

import subprocess
import sys
from pathlib import Path

CHART = Path(__file__).parent / "submeter"
HEAD = """\
# submeter on every GPU node: kubectl apply -f submeter.yaml. Generated from the chart by
# `make manifests`; the chart's values.yaml explains each choice and has more of them.
---
apiVersion: v1
kind: Namespace
metadata:
  name: submeter
  labels:
    # hostPID and the ledger's folder on the node are what this level is needed for
    pod-security.kubernetes.io/enforce: privileged
"""


def manifest(helm: str) -> str:
    """The whole file. Raises CalledProcessError where helm refuses the chart."""
    command = [helm, "template", "submeter", str(CHART), "--namespace", "submeter"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return HEAD + rendered.stdout.replace("managed-by: Helm", "managed-by: kubectl")


if __name__ == "__main__":
    sys.stdout.write(manifest(sys.argv[1]))
