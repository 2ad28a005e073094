"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A mistake in a recipe, a file or a data set, told in one line that names the thing and the way out.

    The command line prints the message and exits with code 2, without a traceback. From Python it is a `ValueError`.

    >>> raise UserError("data.path: no file 'clicks.csv'. Pass an existing CSV, TSV or Parquet file.")
    Traceback (most recent call last):
    ...
    tfdistill.errors.UserError: data.path: no file 'clicks.csv'. Pass an existing CSV, TSV or Parquet file.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))
