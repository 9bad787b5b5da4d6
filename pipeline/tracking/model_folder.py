"""MLflow's model folder, put together from a `.keras` file without TensorFlow.

`mlflow.keras.log_model` needs a live Keras model. The folder is made here in the layout of MLflow's
own `keras` flavor (mlflow 3.17, `mlflow/keras/save.py`): that is the network alone. The flavor
`python_function` is the whole forecast, from price rows to what is published of them; its loader is
room `serving`, and the files that it needs besides the network are written when a session is
published. No part of the folder is a pickle.
"""

from __future__ import annotations

import json
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.tables import OHLCV
from pipeline.tracking.entries import TrackedModel
from pipeline.version import version_of

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

#: The module that MLflow loads the flavor `python_function` with.
LOADER_MODULE = "pipeline.serving.pyfunc_loader"
#: The example that each publication writes: the rows up to its session. Folders of versions before
#: have an example of their network in `input_example.json`.
EXAMPLE_INFO = {
    "artifact_path": "price_rows.json",
    "type": "dataframe",
    "pandas_orient": "split",
}


def write_model_folder(
    folder: Path, model: TrackedModel, run_id: str | None, logged_id: str, location: str
) -> None:
    """Write the folder of a model.

    Args:
        run_id: the run that it was made in; None: in none.
        logged_id: MLflow's id of the logged model.
        location: where MLflow keeps the folder.
    """
    from mlflow.models import Model

    description = Model(
        artifact_path=location,
        model_uuid=logged_id,
        model_id=logged_id,
        run_id=run_id,
        signature=_signature(),
        saved_input_example_info=dict(EXAMPLE_INFO),
        metadata={"model_id": model.model_id, **_network_metadata(model)},
    )
    if model.content:
        description.add_flavor(
            "keras",
            data="data",
            keras_version=version_of("keras"),
            keras_backend="tensorflow",
            save_exported_model=False,
        )
        write_file(folder / "data" / "model.keras", model.content)
    # As `mlflow.pyfunc.add_to_model` does; importing that costs a second and a warning.
    description.add_flavor(
        "python_function",
        loader_module=LOADER_MODULE,
        python_version=platform.python_version(),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    )
    description.model_size_bytes = len(model.content)
    for name, text in _environment_files(bool(model.content)).items():
        write_file(folder / name, text.encode())
    write_file(folder / "MLmodel", _yaml_of(description))


def _yaml_of(description: Model) -> bytes:
    """Return what `Model.save` would write, made by PyYAML's part in C: ten times as fast."""
    import yaml

    quick = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(description.to_dict(), Dumper=quick, default_flow_style=False)
    return text.encode()


def _network_metadata(model: TrackedModel) -> dict[str, object]:
    """Return what the network of the flavor `keras` takes and answers."""
    if not model.content:
        return {}
    return {
        "training_cutoff": str(model.training_cutoff),
        "columns": list(model.columns),
        "network_inputs": {name: list(shape) for name, shape in model.inputs.items()},
        "forecast": f"{model.output_is}, 1 to {model.outputs} sessions ahead",
    }


@cache
def _signature() -> ModelSignature:
    """Return the columns of price rows, and of the forecast that they make."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    day, number = DataType.datetime, DataType.double
    output = {
        "ticker": DataType.string,
        "cutoff": day,
        "session": day,
        "horizon": DataType.long,
        "level": number,
        "price": number,
    }
    rows = {"session": day, **dict.fromkeys(OHLCV, number)}
    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (rows, output)
    )
    return ModelSignature(inputs=inputs, outputs=outputs)


def _requirement(package: str) -> str:
    installed = version_of(package)  # none where the network was trained elsewhere
    return f"{package}=={installed}" if installed else package


@cache
def _environment_files(has_network: bool) -> dict[str, str]:
    """Return the files that describe a model's environment to MLflow; JSON is YAML."""
    packages = ("mlflow", "numpy", "pandas", *(("keras", "tensorflow") if has_network else ()))
    requirements = [_requirement(package) for package in packages]
    requirements.append(f"stockcast=={__version__}")
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
