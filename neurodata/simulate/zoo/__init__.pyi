from .random import balanced as balanced
from .random import null as null
from .random import static as static
