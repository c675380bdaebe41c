"""A bucket of an S3-compatible server in this process."""

from __future__ import annotations

import itertools

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

from roost.backup.s3_target import S3Target

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


_NUMBERS = itertools.count()  # what servers hold belongs to the process, and outlives them


class Bucket:
    """It is empty at first, and gone once the server is stopped."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self.name = f"backups-{next(_NUMBERS)}"
        client = boto3.client("s3", endpoint_url=self.endpoint)
        client.create_bucket(Bucket=self.name)
        client.close()
        self.running = True

    def url(self, prefix: str = "") -> str:
        return f"s3://{self.name}/{prefix}".rstrip("/")

    def target(self, prefix: str) -> S3Target:
        return S3Target(self.url(prefix), endpoint=self.endpoint)

    def stop(self) -> None:
        if self.running:
            self.running = False
            self._server.stop()
