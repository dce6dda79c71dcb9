"""What a record must say about where it was made; shared by the comparisons."""
import datetime
import pathlib
import platform
import re
import subprocess
from importlib.metadata import version

ROOT = pathlib.Path(__file__).resolve().parent.parent


def machine(cores, packages):
    info = pathlib.Path("/proc/cpuinfo").read_text()
    said = lambda key: re.search(rf"^{key}\s*: (.*)", info, re.M)
    cpu = said("model name")
    # Some names, such as "AMD EPYC", are those of many generations.
    family = said("cpu family")
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                            capture_output=True, text=True).stdout.strip()
    name = cpu.group(1) if cpu else platform.processor()
    return dict(cpu=f"{name}, family {family.group(1)}" if family else name, cores=len(cores),
                system=f"{platform.system()} {platform.release()} {platform.machine()}",
                date=datetime.date.today().isoformat(), relgrad=commit, python=platform.python_version(),
                **{name: version(name) for name in packages})


def stem(machine):
    """The name of its records."""
    return f"{re.sub(r'[^a-z0-9]+', '-', machine['cpu'].lower()).strip('-')}-{machine['date']}"
