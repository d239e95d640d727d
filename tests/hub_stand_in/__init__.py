"""The Hub's HTTP routes on 127.0.0.1, for the real client: unmodified `huggingface_hub`, `datasets` and `transformers`.

A client reads HF_ENDPOINT when it is imported, so it runs in a process of its own (`HubStandIn.run`): nothing of it is
replaced. Two hosts, as in the world: the Hub is `127.0.0.1`, the storage behind it `localhost`, to which a client must
not send its token. HF_HUB_DISABLE_XET=1 makes the client upload by git LFS: its Xet transfer is compiled and speaks a
protocol of its own.

`HubStandIn.faults` makes the n-th request of a route fail; `HubStandIn.requests` says what was asked for.
"""
