"""Writes tables.hdf5 as the HDF5 library does: python3 tables.py (needs h5py)."""

import pathlib

import h5py
import numpy as np


def table(shape, dtype):
    """The fractional parts of multiples of 0.618, in [-0.5, 0.5)."""
    k = np.arange(np.prod(shape), dtype=np.float64)
    return (np.modf(k * 0.618)[0] - 0.5).reshape(shape).astype(dtype)


with h5py.File(pathlib.Path(__file__).with_name("tables.hdf5"), "w") as file:
    # Named as the parts of BSDS300.hdf5.
    for name, rows in [("train", 20), ("validation", 6), ("test", 7)]:
        file[name] = table((rows, 63), "<f4")
    file["other/big_endian"] = table((5, 4), ">f8")
    file["other/whole"] = np.arange(30, dtype="<i2").reshape(5, 2, 3) - 7
    options = {"chunks": (7, 4), "compression": "gzip", "shuffle": True, "fletcher32": True}
    file.create_dataset("other/deep/packed", data=table((30, 4), "<f8"), **options)
    file.create_dataset("other/chunks", data=table((30, 4), "<f4"), chunks=(7, 3))
    file["other/line"] = table((5,), "<f4")
    file["other/text"] = np.array([[b"a", b"b"]])
    bad = table((3, 2), "<f8")
    bad[1, 1] = np.nan
    file["other/nan"] = bad
