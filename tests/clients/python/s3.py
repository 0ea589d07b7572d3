"""An S3 server on loopback, for tests: moto with one bucket.

usage: s3.py BUCKET

Prints its address as one line and ends with its standard input, so that it
never outlives the test that started it, however that ends.
"""

import logging
import sys
import urllib.request

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
urllib.request.urlopen(urllib.request.Request(f"{address}/{sys.argv[1]}", method="PUT"))
print(address, flush=True)
sys.stdin.read()
server.stop()
