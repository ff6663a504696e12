"""The compiler of TypeScript, which judges the declarations for editors as editors do.

`python -m dev.typescript` builds it ahead of its first use, which takes about as long as the control plane.
"""

from pathlib import Path

from dev.go_tool import GoTool

TYPESCRIPT = GoTool("typescript", Path(__file__).with_name("typescript"), "github.com/microsoft/typescript-go/cmd/tsgo")

if __name__ == "__main__":
    print(TYPESCRIPT.path())
