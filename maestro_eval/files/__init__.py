"""How are files read and written? YAML that knows its lines, atomic writes, bundled data, fingerprints."""

from maestro_eval.files.atomic import write_atomic
from maestro_eval.files.bundled import bundled
from maestro_eval.files.fingerprint import fingerprint
from maestro_eval.files.parquet import open_parquet
from maestro_eval.files.yaml_document import UniqueKeyLoader, YamlDocument, load_yaml

__all__ = ["UniqueKeyLoader", "YamlDocument", "bundled", "fingerprint", "load_yaml", "open_parquet", "write_atomic"]
