"""Small jobs and a provider with known keys, for the tests of this folder."""

from datetime import UTC, datetime

from chez.crypto import SealingKey, SigningKey
from chez_wire.login import inbox_of

SIGNING = SigningKey.from_seed(bytes([1]) * 32)
SEALING = SealingKey.from_seed(bytes([2]) * 32)
INBOX_OWNER = SigningKey.from_seed(bytes([3]) * 32)
INBOX_WRITER = SigningKey.from_seed(bytes([4]) * 32)
INBOX = inbox_of(INBOX_OWNER.public)

LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""When whatever waits for its time may leave."""

HEAD = """\
chez = 1
id = "{id}"
version = {version}
name = "Mean power"
retention_days = 30

[purpose]
dpv = "dpv:ServicePersonalisation"
plain = "Tells how much power your home draws on average."
"""

PROVIDER = """
[provider]
name = "Example Energy Advice"
contact = "privacy@example.org"
domain = "example.org"
signing_key = "{signing}"
sealing_key = "{sealing}"
relay = "{relay}"
inbox = "{inbox}"
inbox_write_seed = "{writer}"
"""

READS = """
[[reads]]
collection = "readings"
fields = ["local", "watts"]
where = [{ field = "flow", value = "consumption" }]
window = { field = "local", last = 365, until = "latest" }
"""

WHOLE = READS.replace('window = { field = "local", last = 365, until = "latest" }\n', "")
"""The same without a window: each run is another question, for nothing says that the rows are all there."""

RESULT = """
[parameters]
note = "none"

[result]
type = "object"

[result.properties.watts]
type = "integer"
minimum = 0
maximum = 10000
multipleOf = 10

[budget]
runs = 100
bits = 1000
"""

MEAN = b"""\
def run(data, params):
    powers = [row["watts"] for row in data.rows("readings")]
    if not powers:
        data.fail("not-enough-data")
    return {"watts": sum(powers) / len(powers)}
"""


def provider_text(relay: str = "ws://127.0.0.1:9", signing: SigningKey = SIGNING) -> str:
    """The [provider] table of the known provider."""
    return PROVIDER.format(
        signing=signing.public.hex(),
        sealing=SEALING.public.hex(),
        relay=relay,
        inbox=INBOX.hex(),
        writer=INBOX_WRITER.seed.hex(),
    )


def manifest_text(
    *,
    job: str = "mean-power",
    version: int = 1,
    relay: str = "ws://127.0.0.1:9",
    reads: str = READS,
    rest: str = RESULT,
    signing: SigningKey = SIGNING,
) -> bytes:
    """A whole valid manifest; any part can be replaced."""
    head = HEAD.format(id=job, version=version)
    return (head + provider_text(relay, signing) + reads + rest).encode()
