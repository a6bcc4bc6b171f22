"""A pod-resources service as the kubelet has it, on grpcio: `python kubelet.py SOCKET < message`.

Says "ready" when it listens and ends with its standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

message = sys.stdin.buffer.read(int(sys.argv[2]))


class Lister(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio is not typed
    """`v1.PodResourcesLister`, of which the agent uses List."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != "/v1.PodResourcesLister/List":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: message)


server = grpc.server(ThreadPoolExecutor(2), handlers=(Lister(),))
server.add_insecure_port(f"unix://{sys.argv[1]}")
server.start()
print("ready", flush=True)
sys.stdin.buffer.read()
server.stop(0)
