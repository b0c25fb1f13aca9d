"""Where things are: names of streams and subjects. They carry handles in hexadecimal and nothing else.

    <prefix>_log_<n>    <prefix>.log.<n>.s.<handle>                      blocks of a space
                        <prefix>.log.<n>.gone.<handle>.<birth>           a deleted life, to be swept
                        <prefix>.log.<n>.due.<handle>                    something of it is to be dropped
                        <prefix>.log.<n>.begun.<handle>                  what was dropped of it is being removed
                        <prefix>.log.<n>.now                             proves that the stream's leader leads
    <prefix>_blob_<n>   <prefix>.blob.<n>.<handle>.<birth>.<chunk>       a chunk of an attachment
    <prefix>_box_<n>    <prefix>.box.<n>.s.<inbox>                       an inbox
                        <prefix>.box.<n>.i.<inbox>.<birth>.<digest>      an item in it
                        <prefix>.box.<n>.now                             proves that the stream's leader leads
    <prefix>_store      <prefix>.store                                   the incarnation
                        <prefix>.renewed                                 that it changed (kept nowhere)
                        <prefix>.news.<handle or inbox>                  what was just stored (kept nowhere)
                        <prefix>.ephemeral.<handle>                      an ephemeral message (kept nowhere)
"""

from dataclasses import dataclass

__all__ = ("Places",)


@dataclass(frozen=True, slots=True)
class Places:
    """The names of one store with so many shards. A handle or inbox is in the shard that its bytes name."""

    prefix: str
    shards: int

    def shard(self, name: bytes) -> int:
        """The shard of a handle or inbox, which are hashes."""
        return int.from_bytes(name[:4], "big") % self.shards

    def stream(self, kind: str, name: bytes) -> str:
        """The stream of a kind ("log", "blob", "box") that has a handle or inbox."""
        return f"{self.prefix}_{kind}_{self.shard(name)}"

    def streams(self, kind: str) -> list[str]:
        """All streams of a kind."""
        return [f"{self.prefix}_{kind}_{shard}" for shard in range(self.shards)]

    def log(self, handle: bytes) -> str:
        """The subject of a space's blocks."""
        return f"{self.prefix}.log.{self.shard(handle)}.s.{handle.hex()}"

    def all_logs(self, shard: int) -> str:
        """The subjects of the blocks of all spaces of a shard."""
        return f"{self.prefix}.log.{shard}.s.*"

    def gone(self, handle: bytes, birth: bytes) -> str:
        """The subject of a deleted life that is to be swept."""
        return f"{self.prefix}.log.{self.shard(handle)}.gone.{handle.hex()}.{birth.hex()}"

    def all_gone(self, shard: int) -> str:
        """The subjects of all deleted lives of a shard."""
        return f"{self.prefix}.log.{shard}.gone.>"

    def due(self, handle: bytes) -> str:
        """The subject that says that something of a space is to be dropped."""
        return f"{self.prefix}.log.{self.shard(handle)}.due.{handle.hex()}"

    def all_due(self, shard: int) -> str:
        """The subjects of all spaces of a shard of which something is to be dropped."""
        return f"{self.prefix}.log.{shard}.due.*"

    def begun(self, handle: bytes) -> str:
        """The subject that says that blocks of a space are being removed."""
        return f"{self.prefix}.log.{self.shard(handle)}.begun.{handle.hex()}"

    def all_begun(self, shard: int) -> str:
        """The subjects of all spaces of a shard of which blocks are being removed."""
        return f"{self.prefix}.log.{shard}.begun.*"

    def now(self, kind: str, shard: int) -> str:
        """The subject that proves who leads the stream of a kind ("log", "box")."""
        return f"{self.prefix}.{kind}.{shard}.now"

    def chunk(self, handle: bytes, birth: bytes, chunk: bytes) -> str:
        """The subject of one chunk."""
        return f"{self.prefix}.blob.{self.shard(handle)}.{handle.hex()}.{birth.hex()}.{chunk.hex()}"

    def chunks(self, handle: bytes, birth: bytes) -> str:
        """The subjects of all chunks of one life of a space."""
        return f"{self.prefix}.blob.{self.shard(handle)}.{handle.hex()}.{birth.hex()}.*"

    def box(self, inbox: bytes) -> str:
        """The subject of an inbox."""
        return f"{self.prefix}.box.{self.shard(inbox)}.s.{inbox.hex()}"

    def item(self, inbox: bytes, birth: bytes, digest: bytes) -> str:
        """The subject of an item."""
        return f"{self.prefix}.box.{self.shard(inbox)}.i.{inbox.hex()}.{birth.hex()}.{digest.hex()}"

    def news(self, name: bytes) -> str:
        """Where is told what was just stored in a space or an inbox."""
        return f"{self.prefix}.news.{name.hex()}"

    def ephemeral(self, name: bytes) -> str:
        """Where ephemeral messages of a space are passed on."""
        return f"{self.prefix}.ephemeral.{name.hex()}"

    @property
    def renewed(self) -> str:
        """Where is told that the store has another incarnation."""
        return f"{self.prefix}.renewed"
