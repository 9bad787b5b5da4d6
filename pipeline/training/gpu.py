"""The GPU that a worker process trains on, where the device is one (`STOCKCAST_DEVICE=gpu`)."""

from __future__ import annotations

import os

from pipeline.errors import SettingsError


def require_gpu() -> str:
    """Return the name of the GPU that TensorFlow computes on in this process.

    Raises:
        SettingsError: it sees none, and would quietly compute on the CPU.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise SettingsError(
            "STOCKCAST_DEVICE=gpu, but TensorFlow sees no GPU here (CUDA_VISIBLE_DEVICES is "
            f"{'not set' if visible is None else repr(visible)}). Look at `nvidia-smi`, and "
            "install the CUDA libraries (pip install 'tensorflow[and-cuda]'); or train on the CPU "
            "(--device cpu)."
        )
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", gpus[0].name))
