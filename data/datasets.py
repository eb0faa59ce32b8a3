"""xarray datasets as single files: a Zarr v3 group inside one uncompressed zip, replaced as a whole.

One file per dataset keeps a variant at dozens of files instead of thousands, makes a commit one rename
(a partly written epoch can never be seen), and leaves a reader that has the old file open undisturbed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import xarray as xr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore, ZipStore

from data.errors import CorruptFile
from data.files import replacing

CHUNK_BYTES = 512 * 1024


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write `dataset` to `path` atomically, in chunks of about half a megabyte along the first axis."""
    encoded = _encode_strings(dataset)
    chunks = {
        name: {"chunks": _chunks(variable)} for name, variable in encoded.data_vars.items() if variable.ndim
    }
    entries: dict[str, Buffer] = {}
    encoded.to_zarr(MemoryStore(entries), zarr_format=3, consolidated=False, encoding=chunks)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key in sorted(entries):
            archive.writestr(key, entries[key].to_bytes())


def read_dataset(path: Path) -> xr.Dataset:
    """Load the whole dataset into memory. CorruptFile if the file is not one of ours or is damaged."""
    try:
        zipfile.ZipFile(path).close()  # says what is wrong with a damaged archive
        with ZipStore(path, mode="r") as store:
            dataset = xr.open_zarr(store, consolidated=False, chunks=None).load()
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, zarr and codec errors share no base class
        raise CorruptFile(
            f"{path} is damaged ({type(error).__name__}: {error}). Delete it and compute it again;"
            " checkpoints are not affected."
        ) from error
    return _decode_strings(dataset)


def _chunks(variable: xr.DataArray) -> tuple[int, ...]:
    row = max(1, int(np.prod(variable.shape[1:])) * variable.dtype.itemsize)
    return (max(1, min(variable.shape[0], CHUNK_BYTES // row)), *(max(1, n) for n in variable.shape[1:]))


def _encode_strings(dataset: xr.Dataset) -> xr.Dataset:
    """Strings have no stable Zarr v3 type, so they travel as indices into a list of labels."""
    coded = {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "UOT":
            labels, codes = np.unique(np.asarray(variable.values, dtype=str), return_inverse=True)
            attrs = {**variable.attrs, "labels": labels.tolist()}
            coded[name] = (variable.dims, codes.astype("int32").reshape(variable.shape), attrs)
    return (
        dataset.drop_encoding()
        .assign({name: value for name, value in coded.items() if name in dataset.data_vars})
        .assign_coords({name: value for name, value in coded.items() if name in dataset.coords})
    )


def _decode_strings(dataset: xr.Dataset) -> xr.Dataset:
    for name, variable in list(dataset.variables.items()):
        if "labels" in variable.attrs:
            attrs = {key: value for key, value in variable.attrs.items() if key != "labels"}
            labels = np.asarray(variable.attrs["labels"], dtype=str)
            decoded = (
                variable.dims,
                labels[variable.values] if labels.size else np.empty(variable.shape, "U1"),
                attrs,
            )
            dataset = (
                dataset.assign_coords({name: decoded})
                if name in dataset.coords
                else dataset.assign({name: decoded})
            )
    return dataset
