"""The list of the published files of Aspen Open Jets, and their download where there is room."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field

from oddjets.config.yaml import StrictModel, read_yaml
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.io.aspen import SIGNATURE, inspect, require_h5py
from oddjets.io.download import FetchError, download

__all__ = ["AspenCatalogue", "download_aspen", "load_aspen_catalogue"]

_GB = 1e9
#: kept free on the disk
_SPARE_GB = 1.0


class AspenCatalogue(StrictModel):
    """The published files.

    Attributes:
        record: the page of the publication.
        url: of a file, with ``{name}``.
        prefixes: of the names of files, in front of a number.
        batches: numbers of each prefix, from 0.
        total_GB: all files together, 10^9 bytes.
        total_jets: likewise.
        sha256: of files by name; those of the others are not checked.
    """

    record: str
    url: str
    prefixes: tuple[str, ...]
    batches: int = Field(gt=0)
    total_GB: float = Field(gt=0)
    total_jets: int = Field(gt=0)
    sha256: dict[str, str] = Field(default={})

    @property
    def names(self) -> list[str]:
        """The names of all files."""
        return [f"{prefix}{number}.h5" for prefix in self.prefixes for number in range(self.batches)]

    @property
    def mean_GB(self) -> float:
        """The size of a file on average; those of single files are not known."""
        return self.total_GB / len(self.names)


def load_aspen_catalogue() -> AspenCatalogue:
    """Read ``datasets/aspen.yaml``."""
    return AspenCatalogue.model_validate(read_yaml(resources.find("aspen.yaml", "datasets")))


def download_aspen(catalogue: AspenCatalogue, names: list[str], folder: Path, url: str | None = None) -> list[Path]:
    """Download files that are not there; one that was interrupted is gone on with.

    Args:
        catalogue: the list.
        names: which files.
        folder: where to; it is made.
        url: in place of the catalogue's, with ``{name}``.

    Returns:
        The files that were downloaded now.

    Raises:
        OddjetsError: a name that is not published, or not enough room on the disk for all of them; nothing is downloaded then.
        FetchError: see `oddjets.io.download.download`; or what arrived is no file of the layout, and is deleted.
    """
    for name in names:
        if name not in catalogue.names:
            raise OddjetsError(f"'{name}' is none of the published files; {nearest(name, catalogue.names)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OddjetsError(f"{folder}: cannot be made ({error.strerror}); give another folder for the files") from None
    absent = [name for name in names if not (folder / name).is_file()]
    # what arrived of them takes no more room
    begun = sum(part.stat().st_size for name in absent if (part := folder / f"{name}.part").is_file()) / _GB
    needed = len(absent) * catalogue.mean_GB - begun
    free = shutil.disk_usage(folder).free / _GB
    if absent and needed > free - _SPARE_GB:
        fitting = max(0, int((free - _SPARE_GB + begun) / catalogue.mean_GB))
        raise OddjetsError(
            f"{folder}: {len(absent)} files need some {needed:.1f} GB ({catalogue.mean_GB:.2f} GB each on average), and"
            f" {free:.1f} GB are free there; {fitting} of them fit: ask for fewer, or give another folder. Half of the files is"
            " half of the data, and everything works with it"
        )
    require_h5py()
    for name in absent:
        file = folder / name
        download((url or catalogue.url).format(name=name), file, catalogue.sha256.get(name), SIGNATURE)
        try:
            inspect(file)
        except InputFileError as error:
            file.unlink()
            raise FetchError(f"{error}. The download is deleted") from None
    return [folder / name for name in absent]
