"""Reads and writes files: YAML with line numbers, atomic writes, bundled data, fingerprints, pixels."""

from maestro_eval.files.arrow_stream import is_compressed
from maestro_eval.files.atomic import atomic_file, write_atomic
from maestro_eval.files.bundled import bundled
from maestro_eval.files.fingerprint import fingerprint
from maestro_eval.files.network import network_file_system
from maestro_eval.files.parquet import open_parquet
from maestro_eval.files.picture_folder import own_picture_folder, picture_folder, private_folder
from maestro_eval.files.pixels import is_plain, is_plain_file, plain_file, read_pixels, shown
from maestro_eval.files.yaml_document import UniqueKeyLoader, YamlDocument, load_yaml

__all__ = [
    "UniqueKeyLoader",
    "YamlDocument",
    "atomic_file",
    "bundled",
    "fingerprint",
    "is_compressed",
    "is_plain",
    "is_plain_file",
    "load_yaml",
    "network_file_system",
    "open_parquet",
    "own_picture_folder",
    "picture_folder",
    "plain_file",
    "private_folder",
    "read_pixels",
    "shown",
    "write_atomic",
]
