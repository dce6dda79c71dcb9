"""Model files: what `relgrad train` writes and `relgrad eval`, `score` and `sample` read.

They are safetensors: a length, a header in JSON with names, types and shapes, then the numbers. A
tensor is layers.K.weight (D, D; row-major, output by input), layers.K.bias (D), ...; metadata say
what the tensors do not, such as the activation.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any, Iterator

import numpy as np

from ._library import CHOICES, Config, RelgradError
from .conditions import Conditions
from .model import Model

# In the order in which the program writes them, from the last.
_TYPES = {"U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "I32": "<i4", "U32": "<u4",
          "F32": "<f4", "F64": "<f8", "I64": "<i8", "U64": "<u8"}
_PRECISIONS = {"F32": np.float32, "F64": np.float64}
_ACTIVATIONS = ("tanh_mixture:K", "bend", "smooth_leaky_relu:A", "leaky_tanh:A,B", "identity")
_OURS = ("layers.", "input.", "condition.")


class FileError(ValueError):
    """A file that cannot be read: which one, the key at fault, its value, what is allowed."""

    def __init__(self, path: Any, key: str, value: Any, allowed: str) -> None:
        super().__init__("%s: %s: %s; %s" % (path, key, value, allowed))


@dataclasses.dataclass
class Tensor:
    """Numbers as a file holds them: type, shape, bytes."""

    dtype: str
    shape: list[int]
    data: bytes

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        name = "F32" if array.dtype == np.float32 else "F64"
        return cls(name, list(array.shape), array.astype(_TYPES[name]).tobytes())

    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, _TYPES[self.dtype]).reshape(self.shape)


@dataclasses.dataclass
class ModelFile:
    """A model, and what its file says beside it."""

    model: Model
    names: list[str] | None = None  # of the features
    conditions: Conditions | None = None
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)  # others, kept as they are
    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def write(self, path: str | os.PathLike) -> None:
        """Writes the file so that at every moment it is the old one or the new one, whole."""
        config, metadata, tensors = self.model.config, dict(self.metadata), dict(self.tensors)
        if config.base == CHOICES["base"].index("custom"):
            raise FileError(path, "base", "custom", "cannot be saved: a file holds normal, sech and logistic")
        metadata.update({"relgrad.format": "1", "activation": activation_text(config),
                         "base": _name("base", config), "bias": _name("bias", config),
                         "final_activation": "true" if config.final_activation else "false"})
        at = 0
        for name, shape in _parameters(config):
            tensors[name] = Tensor.of(self.model.params[at:at + int(np.prod(shape))].reshape(shape))
            at += int(np.prod(shape))
        for name, tensor in tensors.items():
            if tensor.dtype in ("F32", "F64") and not np.isfinite(tensor.array()).all():
                raise FileError(path, name, "NaN or infinity", "must be finite")
        if self.model.origin is not None:
            tensors["input.origin"] = Tensor.of(np.asarray(self.model.origin, np.float64))
        if self.conditions is not None:
            metadata["condition"] = "%s:%d" % (_name("condition", config), config.condition_len)
            metadata["conditioned"] = _name("conditioned", config)
            metadata.update(self.conditions.metadata())
            for name, numbers in self.conditions.tensors().items():
                tensors["condition." + name] = Tensor.of(numbers)
        if self.names is not None and "columns" not in metadata and _are_distinct(self.names):
            of = len(self.names)
            metadata["columns"] = _json({"names": self.names, "numbers": list(range(1, of + 1)), "of": of})
        _write_tensors(pathlib.Path(path), tensors, metadata)

    @classmethod
    def read(cls, path: str | os.PathLike, max_batch: int = 256, **settings: Any) -> ModelFile:
        """Reads a model, ready to be scored; `settings` are fields of Config that files do not hold."""
        tensors, metadata = _read_tensors(pathlib.Path(path))
        _take(path, metadata, "relgrad.format", ("1",))
        names = {key: _take(path, metadata, key, CHOICES[key][:allowed])
                 for key, allowed in (("base", 3), ("bias", 4))}
        final = _take(path, metadata, "final_activation", ("true", "false")) == "true"
        text = metadata.pop("activation", None)
        try:
            activation = parse_activation(text or "")
        except ValueError:
            raise FileError(path, "activation", text, "must be " + ", ".join(_ACTIVATIONS)) from None
        kind, count, conditioned = _take_condition(path, metadata)
        preprocess = metadata.get("preprocess", "none")
        if preprocess != "none":
            allowed = "must be none: Python reads models of data as they are, the program all others"
            raise FileError(path, "preprocess", preprocess, allowed)
        first = tensors.get("layers.0.weight")
        if first is None or first.dtype not in ("F32", "F64") or len(first.shape) != 2:
            found = "missing" if first is None else "%s %s" % (first.dtype, first.shape)
            raise FileError(path, "layers.0.weight", found, "must be F32 or F64 (D, D)")
        layers = sum(name.startswith("layers.") and name.endswith(".weight") for name in tensors)
        try:
            model = Model(first.shape[0], layers, _PRECISIONS[first.dtype], max_batch=max_batch, **activation,
                          **names, final_activation=final, condition=kind, condition_len=count,
                          conditioned=conditioned,
                          input_transform=int("input.shift" in tensors or "input.scale" in tensors),
                          **settings)
        except ValueError as e:
            raise FileError(path, "metadata", str(e), "no model is so") from None
        _take_parameters(path, tensors, model, first.dtype)
        if "input.origin" in tensors:
            model.origin = _take_doubles(path, tensors, "input.origin", model.config.dim)
        conditions = None
        if kind != "none":
            standard = {name: _take_doubles(path, tensors, "condition." + name, count)
                        for name in ("shift", "scale") if "condition." + name in tensors}
            try:
                conditions = Conditions.of_file(kind, count, metadata, standard)
            except ValueError as e:
                raise FileError(path, "condition", kind, str(e)) from None
        columns = _columns(path, metadata, model.config.dim)
        strange = [name for name in tensors if name.startswith(_OURS)]
        if strange:
            raise FileError(path, strange[0], "present", "belongs to no model of this activation and condition")
        try:
            model.refresh()
        except RelgradError as e:
            raise FileError(path, "parameters", str(e), "no density has them") from None
        return cls(model, columns, conditions, metadata, tensors)


def parse_activation(text: str) -> dict[str, Any]:
    """The fields of Config of tanh_mixture[:K], bend, smooth_leaky_relu[:A], leaky_tanh[:A[,B]] or
    identity, with K = 4, A = 0.3 or 1, B = 0.1 unless given."""
    name, _, given = text.partition(":")
    usual = {"tanh_mixture": (4.0,), "smooth_leaky_relu": (0.3,), "leaky_tanh": (1.0, 0.1), "bend": (),
             "identity": ()}
    numbers = given.split(",") if given else []
    if name not in usual or len(numbers) > len(usual[name]):
        raise ValueError("activation: %r; must be %s" % (text, ", ".join(_ACTIVATIONS)))
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise ValueError("activation: %r; must be %s" % (text, ", ".join(_ACTIVATIONS))) from None
    values += usual[name][len(values):]
    return {"activation": name, **dict(zip(("activation_a", "activation_b"), values))}


def activation_text(config: Config) -> str:
    """What parse_activation reads."""
    name = _name("activation", config)
    count = {"leaky_tanh": 2, "bend": 0, "identity": 0}.get(name, 1)
    numbers = [np.format_float_positional(number, trim="-")
               for number in (config.activation_a, config.activation_b)[:count]]
    return name + (":" + ",".join(numbers) if numbers else "")


def _parameters(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in the order of a model's params."""
    dim, layers, u = config.dim, config.layers, config.condition_len
    for k in range(layers):
        yield "layers.%d.weight" % k, (dim, dim)
        if _name("bias", config) != "none":
            yield "layers.%d.bias" % k, (dim,)
    steps = int(config.activation_a)
    curves = {"tanh_mixture": [("log_slope", (dim,)), ("log_weight", (steps, dim)),
                               ("log_steepness", (steps, dim)), ("center", (steps, dim))],
              "bend": [("theta", (dim,)), ("log_sharpness", (dim,))]}
    for k in range(layers if config.final_activation else layers - 1):
        for name, shape in curves.get(_name("activation", config), []):
            yield "layers.%d.%s" % (k, name), shape
    conditioned = _name("conditioned", config) if config.condition else None
    if conditioned in ("latents", "both"):
        yield "condition.location", (u, dim)
        yield "condition.log_scale", (u, dim)
    if conditioned in ("layers", "both"):
        for k in range(layers):
            yield "layers.%d.condition" % k, (u, dim)
    if config.input_transform:
        yield "input.shift", (dim,)
        yield "input.scale", (dim,)


def _take_parameters(path, tensors: dict[str, Tensor], model: Model, dtype: str) -> None:
    at = 0
    for name, shape in _parameters(model.config):
        tensor = tensors.pop(name, None)
        if tensor is None and name in ("input.shift", "input.scale"):
            tensor = Tensor.of(np.full(shape, name == "input.scale", model.dtype))
        if tensor is None or tensor.dtype != dtype or tensor.shape != list(shape):
            found = "missing" if tensor is None else "%s %s" % (tensor.dtype, tensor.shape)
            raise FileError(path, name, found, "must be %s %s" % (dtype, list(shape)))
        values = tensor.array()
        if not np.isfinite(values).all() or (name == "input.scale" and not values.all()):
            raise FileError(path, name, "NaN, infinity or a scale of 0", "must be finite, scales not 0")
        model.params[at:at + values.size] = values.ravel()
        at += values.size


def _take(path, metadata: dict[str, str], key: str, allowed: tuple[str, ...]) -> str:
    value = metadata.pop(key, None)
    if value not in allowed:
        raise FileError(path, key, "missing" if value is None else repr(value),
                        "must be " + " or ".join(map(repr, allowed)))
    return value


def _take_condition(path, metadata: dict[str, str]) -> tuple[str, int, str]:
    conditioned = "both"
    if "conditioned" in metadata:
        conditioned = _take(path, metadata, "conditioned", CHOICES["conditioned"])
    text = metadata.pop("condition", "none")
    kind, _, count = text.partition(":")
    if kind not in CHOICES["condition"] or (kind != "none") != count.isdecimal():
        raise FileError(path, "condition", repr(text), "must be none, numbers:width or classes:count")
    return kind, int(count or 0), conditioned


def _take_doubles(path, tensors: dict[str, Tensor], name: str, count: int) -> np.ndarray:
    tensor = tensors.pop(name)
    if tensor.dtype != "F64" or tensor.shape != [count] or not np.isfinite(tensor.array()).all():
        raise FileError(path, name, "%s %s" % (tensor.dtype, tensor.shape), "must be F64 [%d], finite" % count)
    return tensor.array().copy()


def _columns(path, metadata: dict[str, str], dim: int) -> list[str] | None:
    """The features' names; what the file says of their columns is kept."""
    text = metadata.get("columns")
    if text is None:
        return None
    try:
        names, numbers = json.loads(text)["names"], json.loads(text)["numbers"]
        good = len(numbers) == dim and (names is None or (len(names) == dim and _are_distinct(names)))
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise FileError(path, "columns", repr(text), "must be an object of names (each once), numbers and of")
    return names


def _are_distinct(names: list[str]) -> bool:
    return len(set(names)) == len(names) and all(isinstance(name, str) and name for name in names)


def _name(of: str, config: Config) -> str:
    return CHOICES[of][getattr(config, of)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _read_tensors(path: pathlib.Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise FileError(path, "header", "%d bytes in all" % len(data), "must be a safetensors file, whole")
    try:
        header = json.loads(data[8:8 + length])
        metadata = dict(header.pop("__metadata__", {}))
        places = []
        for name, of in header.items():
            start, end = map(int, of["data_offsets"])
            places.append((name, str(of["dtype"]), [int(n) for n in of["shape"]], start, end))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FileError(path, "header", "no JSON of tensors", "must be a safetensors file") from None
    data, tensors = data[8 + length:], {}
    for name, dtype, shape, start, end in places:
        size = np.dtype(_TYPES[dtype]).itemsize * int(np.prod(shape)) if dtype in _TYPES else end - start
        if not 0 <= start <= end <= len(data) or end - start != size:
            raise FileError(path, name, "%s %s at %d to %d" % (dtype, shape, start, end),
                            "must lie in the file, %d bytes of numbers: has it been cut short?" % len(data))
        tensors[name] = Tensor(dtype, shape, data[start:end])
    return tensors, metadata


def _write_tensors(path: pathlib.Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    rank = list(_TYPES)
    ordered = sorted(tensors.items(), key=lambda one: (-rank.index(one[1].dtype) if one[1].dtype in rank else 0,
                                                       one[0]))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    place = path.resolve()
    beside = place.with_name("%s.%d.new" % (place.name, os.getpid()))
    try:
        with open(beside, "xb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, tensor in ordered:
                file.write(tensor.data)
        os.replace(beside, place)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise type(error)(error.errno, error.strerror, str(path)) from None
