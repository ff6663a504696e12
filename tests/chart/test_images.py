"""Names of images: what is well, and what is refused with a sentence that says how to write it."""

import re
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import Object, RenderingFailed, find

pytestmark = pytest.mark.integration

DIGEST = "sha256:" + "0" * 64
BUNDLED = {"repository": "nats", "tag": "2.15.1-scratch"}


def _image(objects: list[Object], kind: str, name: str) -> str:
    return str(find(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    ("image", "rendered"),
    [
        ({"repository": "a", "tag": "1"}, "a:1"),
        ({"registry": "localhost:5000", "repository": "a", "tag": "1"}, "localhost:5000/a:1"),
        ({"registry": "ghcr.io/foo", "repository": "bar/a", "tag": "v1"}, "ghcr.io/foo/bar/a:v1"),
        (
            {"registry": "R-1.Example.com:443/a__b/c--d", "repository": "a", "tag": "1"},
            "R-1.Example.com:443/a__b/c--d/a:1",
        ),
        ({"repository": "a", "tag": "v1", "digest": DIGEST}, f"a@{DIGEST}"),
        ({"repository": "a", "tag": "", "digest": DIGEST}, f"a@{DIGEST}"),
        ({"registry": "[::1]:5000", "repository": "a_b/c-d.e", "tag": "1"}, "[::1]:5000/a_b/c-d.e:1"),
    ],
)
def test_a_name_is_put_together(image: dict[str, str], rendered: str, render: Render) -> None:
    objects = render({"image": image, "nats": {"bundled": {"image": image}}})
    assert _image(objects, "Deployment", "-operator") == rendered
    assert _image(objects, "StatefulSet", "-nats") == rendered


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"registry": "ghcr.io/foo/"}, 'registry is "ghcr.io/foo/": write it without slashes at its ends'),
        ({"registry": "ghcr.io/foo//"}, 'as "ghcr.io/foo"'),
        ({"registry": "/"}, "write it without slashes at its ends"),
        ({"registry": "https://ghcr.io"}, 'leave out "https://"; an image has no scheme'),
        ({"registry": "docker://ghcr.io/foo/"}, 'leave out "docker://"'),
        ({"registry": " ghcr.io"}, "write it without blanks"),
        ({"registry": "me@ghcr.io"}, "put what follows the @"),
        ({"repository": "/a"}, 'as "a"'),
        ({"repository": "a/"}, 'as "a"'),
        ({"repository": "a//b"}, 'as "a/b"'),
        ({"repository": "oci://ghcr.io/a"}, 'leave out "oci://"'),
        ({"repository": "a:1"}, "what follows the last colon into"),
        ({"repository": "localhost:5000/a"}, "put the registry, with its port, into"),
        ({"repository": f"a@{DIGEST}"}, "put what follows the @ into"),
        ({"repository": "A"}, "small letters"),
        ({"repository": "-a"}, "between them"),
        ({"repository": "a/.b"}, "between them"),
        ({"repository": "a___b"}, "between them"),
        ({"registry": "ghcr.io/MyOrg"}, "parts behind it that have small letters"),
        ({"registry": "foo..bar"}, "expected a host"),
        ({"registry": "-foo"}, "expected a host"),
        ({"registry": "foo:port"}, "a port if it needs one"),
        ({"registry": "foo:"}, "a port if it needs one"),
        ({"registry": "foo:5000:1"}, "a port if it needs one"),
        ({"registry": "a,b"}, "expected a host"),
        ({"repository": "a b"}, "write it without blanks"),
        ({"tag": 2}, "tag is a number, and a number loses its zeros"),
        ({"tag": 1.1}, "--set-string"),
        ({"tag": 0}, "tag is a number"),
        ({"tag": ":1"}, "does not match pattern"),
        ({"tag": f"1@{DIGEST}"}, "does not match pattern"),
        ({"tag": DIGEST}, "does not match pattern"),
        ({"digest": "0" * 64}, "does not match pattern"),
    ],
)
@pytest.mark.parametrize("place", ["image", "nats.bundled.image"])
def test_what_is_no_name_is_refused(image: dict[str, Any], words: str, place: str, render: Render) -> None:
    values: dict[str, Any] = image
    for name in reversed(place.split(".")):
        values = {name: values}
    with pytest.raises(RenderingFailed, match=re.escape(words)) as raised:
        render(values)
    assert place in str(raised.value).replace("/", ".")


def test_a_server_has_a_tag_or_a_digest(render: Render) -> None:
    """The chart's own image has the chart's version for its tag; the server's has none to fall back on."""
    with pytest.raises(RenderingFailed, match=r"nats\.bundled\.image\.tag and nats\.bundled\.image\.digest are empty"):
        render({"nats": {"bundled": {"image": {"tag": ""}}}})
