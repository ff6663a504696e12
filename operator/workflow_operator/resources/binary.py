"""What stands in ``binaryData`` of a ConfigMap."""

from __future__ import annotations

import base64


def why_binary(encoded: object) -> str:
    """What is wrong with a script in ``binaryData``, and what to do. kubectl puts there what is no UTF-8 text;
    whoever writes the ConfigMap otherwise can put anything there."""
    try:
        base64.b64decode(str(encoded)).decode()
    except ValueError:
        return "because it is no UTF-8 text: save the file as UTF-8, and create the ConfigMap anew"
    return "though it is UTF-8 text: put it into data, as it is"
