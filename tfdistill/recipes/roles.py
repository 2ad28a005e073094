"""What the models of a run are called: who they are, and what has been done to make them smaller."""

LABELS = {"teacher": "teacher", "alone": "student alone", "distilled": "distilled student"}
SHORT_LABELS = {**LABELS, "distilled": "distilled"}
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
