"""What pyproject.toml cannot say: the packages, of which one, the configs, lies outside `inpaintzoo/`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["inpaintzoo*"]), "inpaintzoo.configs"])
