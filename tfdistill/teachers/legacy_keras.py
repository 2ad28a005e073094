"""Loading what Keras 2 wrote, without running what a file may bring along."""

from tfdistill.errors import UserError

# Where the classes of a model of stock layers are. tf_keras would import any module that a file names, and call any
# function in it, safe mode or not; so nothing else gets through to it.
MODULES = (
    "",
    "activations",
    "constraints",
    "initializers",
    "layers",
    "layers.experimental.preprocessing",
    "mixed_precision",
    "models",
    "regularizers",
)
OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
INTERNAL = {
    "engine.functional": ("Functional",),
    "engine.sequential": ("Sequential",),
    "layers.core.tf_op_layer": OPERATION_LAYERS,
}
VALUES = ("TensorShape", "__bytes__", "__ellipsis__", "__numpy__", "__tensor__", "__tuple__")
ACTIVATION_HELPERS = ("deserialize", "get", "serialize")  # public next to the activations

# Functions of TensorFlow that a functional model may call on its tensors: they compute, and touch neither files nor code.
OPERATION_FAMILIES = ("__operators__.", "linalg.", "math.", "nn.", "strings.")
OPERATIONS = frozenset(
    "argmax broadcast_to cast clip_by_value concat convert_to_tensor expand_dims fill gather identity one_hot ones_like "
    "pad range rank repeat reshape reverse roll shape slice sort split squeeze stack tile transpose unstack where "
    "zeros_like".split()
)


def load_model(path, version, config):
    """Loads a `.keras` or `.h5` file of Keras 2 through tf_keras.

    Args:
        path: the file.
        version: version of Keras that wrote it.
        config: the configuration in it.

    Raises:
        UserError: where tf_keras is not installed, and where the file names code that is neither a class of tf_keras
            nor registered.
    """
    try:
        import tf_keras
    except ImportError as error:
        raise UserError(
            f"'{path}' was written by Keras {version}, which tf_keras reads. Install it (pip install "
            "'tfdistill[legacy]'), or export the model as a SavedModel: model.export('teacher')."
        ) from error
    check_config({key: value for key, value in config.items() if key != "compile_config"}, path, tf_keras)
    return tf_keras.models.load_model(path, compile=False, safe_mode=True)


def check_config(config, path, tf_keras):
    """Raises `UserError` where anything in a configuration names code of another origin than tf_keras itself."""
    if isinstance(config, (list, tuple)):
        for part in config:
            check_config(part, path, tf_keras)
    if not isinstance(config, dict):
        return
    if "class_name" in config and not _is_known(config, tf_keras):
        what = config["config"] if config["class_name"] == "function" else config["class_name"]
        raise needs_code(path, f"Could not locate '{what}'")
    for part in config.values():
        check_config(part, path, tf_keras)


def needs_code(path, what):
    """The error for a file that needs code: `what` is what was looked for."""
    return UserError(
        f"'{path}' needs code that is not loaded from a file ({what}). Register its classes and functions with "
        "@keras.saving.register_keras_serializable() (for a file of Keras 2, tf_keras.saving) and import them before "
        "loading; replace a lambda by a registered function; or export the model as a SavedModel."
    )


def _is_known(config, tf_keras):
    name, module, inner = str(config["class_name"]), config.get("module"), config.get("config")
    if name in ("Lambda", "__lambda__"):
        return False
    if name == "function":
        return _is_known_function(str(inner), module, tf_keras)
    if any(tf_keras.saving.get_registered_object(n) is not None for n in (name, str(config.get("registered_name")))):
        return True
    if name in OPERATION_LAYERS and not _only_computes(inner):
        return False
    if module is None:  # tf_keras looks for the name alone, in all that it has
        return name in (*VALUES, *OPERATION_LAYERS, "Functional") or any(_is_class(tf_keras, m, name) for m in MODULES)
    module = str(module).removeprefix("tf_")
    if module != "keras" and not module.startswith("keras."):
        return False
    module = module.removeprefix("keras").removeprefix(".")
    return name in INTERNAL.get(module.removeprefix("src."), ()) or (
        module in MODULES and _is_class(tf_keras, module, name)
    )


def _is_known_function(name, module, tf_keras):
    if tf_keras.saving.get_registered_object(name) is not None:
        return True
    stock = module in (None, "builtins", "keras.activations", "tf_keras.activations")
    return stock and name not in ACTIVATION_HELPERS and callable(getattr(tf_keras.activations, name, None))


def _is_class(tf_keras, module, name):
    home = tf_keras
    for part in filter(None, module.split(".")):
        home = getattr(home, part, None)
    return isinstance(getattr(home, name, None), type)


def _only_computes(config):
    operation = str((config or {}).get("function")).removeprefix("compat.v1.")
    return operation in OPERATIONS or operation.startswith(OPERATION_FAMILIES)
