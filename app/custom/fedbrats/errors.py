"""Errors whose text is written for the person on call: what, where, what was expected, what to do."""


class FedbratsError(Exception):
    """Bad input or a condition the user can mend; the command line prints its text and exits with 1."""


class DataError(FedbratsError):
    """A case, a datalist or a cache that cannot be used."""


class DamagedFileError(DataError):
    """A file that this program wrote and that cannot be read any more."""


class ConfigurationError(FedbratsError):
    """A setting, job or site file that says something impossible."""


class ArgumentError(ConfigurationError):
    """An argument of a command that means nothing, as wrong as an unknown one; the command line exits with 2."""


class UpdateError(FedbratsError):
    """An update or a set of weights that does not fit the model it is meant for."""
