"""Scores tables of predictions by VLMEvalKit's own functions, without a judge (vlmevalkit.ts).

Its packages are entered past their __init__.py, which load every model and data set there is; third-party packages
that are not installed are stood in for, since the functions called here use none of them.
"""

import argparse
import importlib.abc
import importlib.machinery
import json
import math
import os
import pathlib
import sys
import types
from unittest import mock

import pandas


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] == "vlmeval" else importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = mock.MagicMock(name=spec.name)
        module.__path__ = []
        module.__spec__ = spec
        module.__version__ = "99"
        return module

    def exec_module(self, module):
        pass


parser = argparse.ArgumentParser()
parser.add_argument("checkout", type=pathlib.Path)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("names", nargs="+")
arguments = parser.parse_args()
# As docs/evaluation.md tells users; and no file is an address.
os.environ["PRED_FORMAT"] = os.environ["EVAL_FORMAT"] = "tsv"
sys.modules["validators"] = types.SimpleNamespace(url=lambda text: False)
stand_ins = StandIns()
sys.meta_path.append(stand_ins)
for package in ["vlmeval", "vlmeval.dataset", "vlmeval.dataset.utils"]:
    module = types.ModuleType(package)
    module.__path__ = [str(arguments.checkout / package.replace(".", "/"))]
    module.__getattr__ = lambda name: mock.MagicMock(name=name)  # What its __init__.py would have.
    sys.modules[package] = module

image_vqa = importlib.import_module("vlmeval.dataset.image_vqa")
image_vqa.tqdm = iter  # Its progress bar.
multiple_choice = importlib.import_module("vlmeval.dataset.utils.multiple_choice")
yorn = importlib.import_module("vlmeval.dataset.utils.yorn")

# pandas asks for what it can do without.
sys.meta_path.remove(stand_ins)


def one_by_one(function, tasks, save, keys, **_):
    """In place of its pool of workers."""
    results = [function(**task) for task in tasks]
    multiple_choice.dump(dict(zip(keys, results)), save)
    return results


multiple_choice.track_progress_rich = one_by_one


def by_choice(name, predictions, data):
    evaluate = multiple_choice.mcq_circular_eval if "MMBench" in name else multiple_choice.mcq_vanilla_eval
    predictions = predictions.sort_values(by="index")
    predictions["prediction"] = [str(text) for text in predictions["prediction"]]
    result = str(arguments.folder / f"{name}.pkl")
    scored = multiple_choice.report_acc(evaluate(None, predictions, data, 1, result, name))
    for column in scored.columns.drop("split"):
        for split, value in zip(scored["split"], scored[column]):
            yield f"{column}/{split}", 100 * float(value)


def hallusion(name, predictions, data):
    predictions["extracted"] = [yorn.YOrN_Extraction(str(text)) for text in predictions["prediction"]]
    predictions["score"] = predictions["answer"].str.lower() == predictions["extracted"].str.lower()
    file = arguments.folder / f"{name}-scored.tsv"
    predictions.to_csv(file, sep="\t", index=False)
    rated = yorn.Hallusion_rating(str(file))
    for column in ["aAcc", "fAcc", "qAcc"]:
        for split, value in zip(rated["split"], rated[column]):
            yield f"{split}/{column}", float(value)


def text_read(name, predictions, data):
    for section, right in image_vqa.OCRBench.evaluate(str(arguments.folder / f"model_{name}.tsv")).items():
        if not section.endswith("Norm"):
            yield f"{section}/right", float(right)


SPECIAL = {"HallusionBench": hallusion, "OCRBench": text_read}
for name in arguments.names:
    data = pandas.read_csv(arguments.folder / f"{name}.tsv", sep="\t")
    predictions = pandas.read_csv(arguments.folder / f"model_{name}.tsv", sep="\t")
    score = SPECIAL.get(name, by_choice)
    scores = {key: value for key, value in score(name, predictions, data) if not math.isnan(value)}
    print(json.dumps({"name": name, "scores": scores}), flush=True)
