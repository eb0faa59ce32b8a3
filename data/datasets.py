"""xarray datasets as single files: a Zarr v3 group inside one zip, replaced as a whole.

One file per dataset keeps a variant at dozens of files instead of thousands, makes a commit one rename
(a partly written epoch can never be seen), and leaves a reader that has the old file open undisturbed.
The numbers are compressed by Zarr; its descriptions, most of a small result, are deflated by the zip.
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
from data.plain_zarr import plain_dataset

CHUNK_BYTES = 512 * 1024
_DESCRIPTION = "zarr.json"


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
            how = zipfile.ZIP_DEFLATED if key.endswith(_DESCRIPTION) else zipfile.ZIP_STORED
            archive.writestr(key, entries[key].to_bytes(), how)


def read_dataset(path: Path) -> xr.Dataset:
    """Load the whole dataset into memory. CorruptFile if the file is not one of ours or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:  # says what is wrong with a damaged archive
            dataset = plain_dataset({name: archive.read(name) for name in archive.namelist()})
        if dataset is None:
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
