"""What the models and files of a run are called: who they are, what made them smaller, and their formats."""

LABELS = {"teacher": "teacher", "alone": "student alone", "distilled": "distilled student"}
SHORT_LABELS = {**LABELS, "distilled": "distilled"}
FORMAT_LABELS = {
    "saved_model": "SavedModel",
    "tflite_float32": "float32",
    "tflite_float16": "float16",
    "tflite_dynamic_int8": "dynamic int8",
    "tflite_weight_only_int8": "weight-only int8",
    "tflite_int8": "int8",
    "tflite_int16": "int16",
    "tflite_int4": "int4",
}
DONE = {"prune": "pruned", "cluster": "clustered", "quantize_aware": "quantisation-aware"}
ASSISTANT = "assistant "  # and its number


def base_role(role):
    """The role that a model had before it was compressed.

    >>> base_role("distilled prune quantize_aware"), base_role("assistant 1")
    ('distilled', 'assistant 1')
    """
    return role if role.startswith(ASSISTANT) else role.split(" ")[0]


def role_label(role, labels=LABELS):
    """What the model of a role is called.

    >>> role_label("distilled prune quantize_aware")
    'distilled student, pruned, quantisation-aware'
    """
    base = base_role(role)
    steps = role.removeprefix(base).split()
    return ", ".join([labels.get(base, base), *(DONE.get(kind, kind) for kind in steps)])
