"""A Hub on loopback: what huggingface_hub, datasets and sentence-transformers need of one, and faults on demand.

`Store` keeps repositories by commit and large files by their sha256; `HubServer` speaks HTTP over a store. Several servers may
share one store, so that a test can cut one client's connection while another client reads.
"""

from .server import HubServer
from .store import READ_TOKEN, WRITE_TOKEN, Refused, Store

__all__ = ["READ_TOKEN", "WRITE_TOKEN", "HubServer", "Refused", "Store"]
