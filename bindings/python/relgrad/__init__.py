"""relgrad: densities, anomaly scores, samples and independent components by exact maximum likelihood.

Flow learns a density, AnomalyDetector a threshold on one, ICA linear independent components; all three
have scikit-learn's interface and need NumPy alone. Model and Alarm are the C ABI, one call a method.

The shared library is RELGRAD_LIBRARY if that is set, else the one in this package, else the system's.
"""

from ._library import (ABI_VERSION, ALIGNMENT, CHOICES, KINDS, STARTS, STOPS, Batch, Component, Config,
                       IcaReport, IcaSettings, RefreshReport, RelgradError, Report, Schedule, Sizes, version)
from .alarm import Alarm
from .anomaly import AnomalyDetector
from .files import FileError
from .flow import Flow
from .ica import ICA
from .model import Model, origin_of
from .training import Epoch

__version__ = version

__all__ = ["ABI_VERSION", "ALIGNMENT", "CHOICES", "KINDS", "STARTS", "STOPS", "Alarm", "AnomalyDetector",
           "Batch", "Component", "Config", "Epoch", "FileError", "Flow", "ICA", "IcaReport", "IcaSettings",
           "Model", "RefreshReport", "RelgradError", "Report", "Schedule", "Sizes", "origin_of", "version"]
