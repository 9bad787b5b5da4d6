"""MLflow's model folder, put together from a `.keras` file without TensorFlow.

`mlflow.keras.log_model` needs a live Keras model. The folder is made here in the layout of MLflow's
own `keras` flavor (mlflow 3.17, `mlflow/keras/save.py`); a test loads one with
`mlflow.keras.load_model` and `mlflow.pyfunc.load_model`. No part of it is a pickle.
"""

from __future__ import annotations

import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tracking.entries import TrackedModel

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature


def write_model_folder(
    folder: Path, model: TrackedModel, run_id: str, logged_id: str, location: str
) -> None:
    """Write the folder of a model.

    Args:
        run_id: the run that it was made in.
        logged_id: MLflow's id of the logged model.
        location: where MLflow keeps the folder.
    """
    from mlflow.models import Model

    description = Model(
        artifact_path=location,
        model_uuid=logged_id,
        model_id=logged_id,
        run_id=run_id,
        signature=_signature_of(model),
        metadata={
            "model_id": model.model_id,
            "training_cutoff": str(model.training_cutoff),
            "columns": list(model.columns),
            "forecast": f"{model.output_is}, 1 to {model.outputs} sessions ahead",
        },
    )
    description.add_flavor(
        "keras",
        data="data",
        keras_version=_version_of("keras"),
        keras_backend="tensorflow",
        save_exported_model=False,
    )
    # As `mlflow.pyfunc.add_to_model` does; importing that costs a second and a warning.
    description.add_flavor(
        "python_function",
        loader_module="mlflow.keras",
        python_version=platform.python_version(),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    )
    description.model_size_bytes = len(model.content)
    write_file(folder / "data" / "model.keras", model.content)
    _add_example(description, model, folder)
    for name, text in _environment_files().items():
        write_file(folder / name, text.encode())
    write_file(folder / "MLmodel", _yaml_of(description))


def _yaml_of(description: Model) -> bytes:
    """Return what `Model.save` would write, made by PyYAML's part in C: ten times as fast."""
    import yaml

    quick = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(description.to_dict(), Dumper=quick, default_flow_style=False)
    return text.encode()


def _signature_of(model: TrackedModel) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    def spec(name: str, shape: tuple[int, ...]) -> TensorSpec:
        kind = np.dtype("str" if name == "symbol" else "float32")
        # A single input is given without its name.
        return TensorSpec(kind, (-1, *shape), name if len(model.inputs) > 1 else None)

    outputs = TensorSpec(np.dtype("float32"), (-1, model.outputs))
    return ModelSignature(
        inputs=Schema([spec(name, shape) for name, shape in model.inputs.items()]),
        outputs=Schema([outputs]),
    )


def _add_example(description: Model, model: TrackedModel, folder: Path) -> None:
    if not model.example:
        return
    from mlflow.models.utils import _save_example

    example = dict(model.example)
    single = next(iter(example.values()))
    _save_example(description, example if len(example) > 1 else single, str(folder))


@cache
def _version_of(package: str) -> str:
    return version(package)


def _environment_files() -> dict[str, str]:
    """Return the files that describe a model's environment to MLflow; JSON is YAML."""
    packages = ("mlflow", "keras", "tensorflow")
    requirements = [f"{package}=={_version_of(package)}" for package in packages]
    python = platform.python_version()
    dependencies: list[Any] = [f"python={python}", "pip", {"pip": requirements}]
    conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": dependencies}
    build = {
        "python": python,
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    return {
        "requirements.txt": "\n".join(requirements),
        "conda.yaml": json.dumps(conda, indent=2),
        "python_env.yaml": json.dumps(build, indent=2),
    }


def write_file(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
