"""What a narrow model can keep of a wide one's scores at best: the truncated singular value decomposition."""

import numpy as np

from tfdistill.models.retrieval import towers


def truncated_svd(users, items, width):
    """The vectors of `width` coordinates whose inner products are nearest to those of the given ones.

        U V' = argmin ‖U V' - P Q'‖ over all U [users, width], V [items, width]

    in the Frobenius norm: the `width` largest singular values and vectors of P Q', found from the QR decompositions of P and
    Q, so that the matrix of all scores is never made. Both sides get the square root of a singular value.

    Worked by hand: P = I, Q' = diag(9, 4), one coordinate: the score 9 stays, as 3 * 3, and 4 is lost.

    When to use it: to begin the training of a narrow student where the teacher is, in place of at random
    (`start_from_teacher`), and as it is, a student for nothing.

    Args:
        users: float [users, d], a teacher's vectors (`user_vectors`).
        items: float [items, d].
        width: how many coordinates to keep, at most d.

    Returns: (float32 [users, width], float32 [items, width]).

    Raises:
        ValueError: for vectors of two widths, and a `width` that they do not have.

    >>> import numpy as np
    >>> user, item = truncated_svd(np.eye(2), np.diag([9.0, 4.0]), 1)
    >>> (user @ item.T).round(4).tolist()
    [[9.0, 0.0], [0.0, 0.0]]

    Reference: Eckart and Young, "The approximation of one matrix by another of lower rank", Psychometrika, 1936.
    """
    users, items = np.asarray(users), np.asarray(items)
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise ValueError(
            f"`users` and `items` must be matrices with as many columns. Received: {users.shape} and {items.shape}"
        )
    most = min(len(users), len(items), users.shape[1])
    if not 1 <= width <= most:
        raise ValueError(f"`width` must be from 1 to {most}, the rank of the scores. Received: width={width}")
    (user_basis, user_part), (item_basis, item_part) = (
        np.linalg.qr(side.astype(np.float64)) for side in (users, items)
    )
    left, values, right = np.linalg.svd(user_part @ item_part.T)
    share = np.sqrt(values[:width])
    user, item = user_basis @ left[:, :width] * share, item_basis @ right[:width].T * share
    return user.astype(np.float32), item.astype(np.float32)


def set_vectors(model, users, items):
    """Writes vectors into the tables of a matrix factorisation.

    Args:
        model: what `bpr_mf` returns, without biases.
        users: float [users, d].
        items: float [items, d].

    Raises:
        ValueError: for a model whose vectors are not rows of a table, or of other shapes.
    """
    for tower, vectors in zip(towers(model), (users, items), strict=True):
        tables = [variable for variable in tower.weights if variable.shape == vectors.shape]
        if len(tower.weights) != 1 or not tables:
            found = {variable.path: tuple(variable.shape) for variable in tower.weights}
            raise ValueError(
                f"`model` must have one table of the shape {vectors.shape} in its {tower.name}, as bpr_mf has. "
                f"Received: {found}"
            )
        tables[0].assign(vectors)


def start_from_teacher(student, users, items):
    """Gives a matrix factorisation the `truncated_svd` of a teacher's vectors, to be trained from there.

    Args:
        student: what `bpr_mf` returns, without biases, no wider than the teacher.
        users, items: float [users, d] and [items, d], the teacher's.

    Raises:
        ValueError: for another student, or a wider one.

    >>> import numpy as np
    >>> from tfdistill.models import bpr_mf
    >>> student = bpr_mf(users=2, items=2, embedding_width=1)
    >>> start_from_teacher(student, np.eye(2), np.diag([9.0, 4.0]))
    >>> student.predict({"user": np.array([0]), "item": np.array([0])}, verbose=0).round(4).tolist()
    [[9.0]]
    """
    set_vectors(student, *truncated_svd(users, items, towers(student)[0].output.shape[-1]))
