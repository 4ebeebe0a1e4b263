"""The local viewer: pages that show the runs below a folder, served on loopback or written as files."""

from maestro_eval.view.library import Library
from maestro_eval.view.pictures import Pictures
from maestro_eval.view.server import Server
from maestro_eval.view.site import Site
from maestro_eval.view.static import Written, write_static

__all__ = ["Library", "Pictures", "Server", "Site", "Written", "write_static"]
