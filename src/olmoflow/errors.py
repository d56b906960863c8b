"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in the input, told in one line.

    The message names the key, file or line, what was found and what was expected. The command
    line prints it without a traceback and exits with status 2.
    """
