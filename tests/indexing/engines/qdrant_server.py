"""A server that speaks as much of Qdrant's REST interface as a load needs, over Qdrant's own local mode."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from qdrant_client import QdrantClient, models


class QdrantServer:
    """A server on a free port of this machine, while it is entered.

    Attributes:
        client: Of the local mode behind it.
        address: Where it listens.
        keys: What came in the header `api-key`.
        upserted: The ids of each request.
    """

    def __init__(self, *, keeps_metadata=True):
        self.client = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.keeps_metadata, self.keys, self.upserted = keeps_metadata, set(), []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                server.keys.add(self.headers.get("api-key"))
                said = server.answer(self.command, self.path.partition("?")[0], body)
                content = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.client.close()

    def answer(self, command, path, body):
        if path == "/":
            return {"title": "qdrant", "version": version("qdrant-client")}
        name, *rest = path.removeprefix("/collections/").split("/")
        return {"result": self.act(command, name, rest, body), "status": "ok", "time": 0.0}

    def act(self, command, name, rest, body):
        match command, rest:
            case "GET", ["exists"]:
                return {"exists": self.client.collection_exists(name)}
            case "GET", []:
                return self.client.get_collection(name).model_dump(mode="json", exclude_none=True)
            case "PUT", []:
                vectors = models.VectorParams(**body["vectors"])
                metadata = body["metadata"] if self.keeps_metadata else None
                return self.client.create_collection(name, vectors_config=vectors, metadata=metadata)
            case "PATCH", []:
                return self.client.update_collection(name, metadata=body["metadata"])
            case "DELETE", []:
                return self.client.delete_collection(name)
            case "PUT", ["points"]:
                self.upserted.append(body["batch"]["ids"])
                self.client.upsert(name, models.Batch(**body["batch"]))
                return {"operation_id": 0, "status": "completed"}
            case "POST", ["points", "count"]:
                return {"count": self.client.count(name).count}
        raise AssertionError((command, name, rest))
