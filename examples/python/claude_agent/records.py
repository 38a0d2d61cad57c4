"""An MCP server of the official SDK, over stdio; it knows nothing of TrustWarden and answers whoever asks."""

from pathlib import Path

from mcp.server import MCPServer

server = MCPServer("records")


@server.tool()
def read_record(id: str) -> str:
    """Reads a record."""
    with Path(__file__).with_name("heard").open("a") as heard:
        heard.write(f"{id}\n")
    return f"record {id}: paid"


server.run()
