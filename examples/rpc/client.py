"""A client of XML-RPC, with what Python brings."""

from xmlrpc.client import Fault, MultiCall, ServerProxy

with ServerProxy("http://127.0.0.1:5000/rpc") as server:
    print(server.shop.price("tea", 3))
    calls = MultiCall(server)  # several calls in one request
    calls.shop.price("tea")
    calls.shop.price("coffee")
    print([result["cents"] for result in calls()])
    try:
        server.shop.price("beer")
    except Fault as fault:
        print(fault.faultCode, fault.faultString)
