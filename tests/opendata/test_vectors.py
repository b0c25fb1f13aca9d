"""The golden file of open data."""

from chez.opendata.editions import read_chain, read_formerly
from chez.opendata.errors import DataInvalid
from chez.opendata.rows import undone
from tests.vectors.golden import golden as golden_file
from tests.vectors.golden import survivors
from tests.vectors.make_opendata import FORMER, PUBLISHER, SPACE, content, vectors


def test_the_golden_file_is_what_is_made_and_reads_back() -> None:
    """Rows, hashes, editions and signatures are those of the file, whose editions make a chain that leads back; no bit
    of an edition or its signature can be another."""
    golden = golden_file("opendata")
    assert golden == vectors()
    before = bytes.fromhex(golden["before"]["packed"])
    records = [{"edition": bytes.fromhex(one["signed"]), "signature": bytes.fromhex(one["signature"])}
               for one in golden["editions"]]
    chain = read_chain([records[0], records[1] | {"before": before}], SPACE)
    first, last = chain.find(1), chain.last
    assert first is not None and last is not None and last.publisher == PUBLISHER.public
    now = content(3, 6, 1)
    assert now.hash == last.content and undone(now, before).hash == first.edition.content
    formerly = bytes.fromhex(golden["formerly"])
    (said,) = read_formerly({"formerly": formerly})
    assert (said.old, said.new) == (FORMER.public, PUBLISHER.public)
    assert survivors(lambda data: read_formerly({"formerly": data}), formerly, DataInvalid) == []
    for part in ("edition", "signature"):
        assert survivors(lambda data, of=part: read_chain([records[0] | {of: data}], SPACE), records[0][part],  # type: ignore[misc]
                         DataInvalid) == []
