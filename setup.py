"""What pyproject.toml cannot say: the packages, of which one, the configs, lies outside `inpaintzoo/`."""

from setuptools import find_namespace_packages, find_packages, setup

folders = [f"inpaintzoo.configs.{folder}" for folder in find_namespace_packages("configs")]
setup(packages=[*find_packages(include=["inpaintzoo*"]), "inpaintzoo.configs", *folders])
