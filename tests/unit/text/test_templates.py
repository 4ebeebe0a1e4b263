"""Templates of strangers: what prompts need works, and none of the bombs takes long or much."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import jinja2
import pytest

from maestro_eval.text.templates import BUDGET, render, unfilled

DOUBLED = "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 40 + "{{ a | length }}"


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{% for x in xs %}{{ loop.index }}:{{ x | trim }}{% if not loop.last %}, {% endif %}{% endfor %}", "1:a, 2:b"),
        ("{% for x in range(3) %}{{ x * 2 + 1 - 1 }}{% endfor %}", "024"),
        ("{{ xs | map('trim') | join('+') }} {{ xs | length }} {{ n % 2 }} {{ (n / 2) | round(1) }}", "a+b 2 1 3.5"),
        ("{{ 'a' ~ n ~ 'b' }}{{ text.upper() }}{{ text | replace('x', 'yy') | upper }}", "a7bXYY"),
        ("{{ text | default('z') }}{{ missing | default('z') }}{{ {'ä': 1} | tojson }}", 'xz{"ä": 1}'),
        ("{{ '  a\n b' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}", "  a\n   b|  a\n  b"),
        ("{% set ns = namespace(k=0) %}{% for x in xs %}{% set ns.k = ns.k + 1 %}{% endfor %}{{ ns.k }}", "2"),
        ("{% if 'x' in text and text.startswith('x') %}yes{% endif %}{{ xs[0][:1] + 'c' }}", "yes c"),
    ],
)
def test_what_prompts_use_works(template: str, filled: str) -> None:
    assert render(template, xs=[" a", "b "], n=7, text="x") == filled


BOMBS = {
    "a wide format": "{{ '%999999999d' % 1 }}",
    "a wide format from a name": "{% set f = '%999999999d' %}{{ f % 1 }}",
    "the format filter": "{{ '%999999999d' | format(1) }}",
    "str.format": "{{ '{:999999999}'.format(1) }}",
    "a long product": "{{ 'x' * 999999999 }}",
    "a long list": "{{ [1] * 999999999 }}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "large numbers": "{% set a = 9999999999999999999 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
    "doubling": DOUBLED,
    "doubling by +": DOUBLED.replace("~", "+"),
    "paid back": "{% set a = 'x' * -999999999 %}{{ 'x' * 2000001 }}",
    "doubling by replace": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a | replace('x', a) %}" * 9 + "{{ a }}",
    "doubling by join": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = [a, a] | join(a) %}" * 30 + "{{ a }}",
    "doubling a list": "{% set a = [1] %}" + "{% set a = a + a %}" * 40,
    "extending a list": "{% set a = [1] %}" + "{% set x = a.extend(a) %}" * 40,
    "ljust": "{{ 'x'.ljust(999999999) }}",
    "zfill": "{{ 'x'.zfill(999999999) }}",
    "center": "{{ 'x' | center(999999999) }}",
    "indent": "{{ 'x\\nx' | indent(999999999, true) }}",
    "indented JSON": "{{ [1] | tojson(indent=999999999) }}",
    "str.join": "{{ question.join(range(9999)) }}",
    "expandtabs": "{{ '\\t'.expandtabs(999999999) }}",
    "translate": "{{ 'x'.translate({120: 'y'}) }}",
    "a nest of loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loops over a text": "{% for a in question %}{% for b in question %}{% endfor %}{% endfor %}",
    "a long range": "{{ range(999999999) | list }}",
    "a macro that calls itself": "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "a recursive loop": "{% for a in [[[]]] recursive %}{{ loop(a) }}{{ loop(a) }}{% endfor %}",
    "lipsum": "{{ lipsum(n=999999) }}",
    "batch": "{{ [1] | batch(999999999, 'x') | list }}",
    "methods in a loop": "{% for a in range(9999) %}{% set x = question.upper() %}{% endfor %}",
    "slices in a loop": "{% for a in range(1900) %}{% set x = question[1:] %}{% endfor %}",
    "a file": "{% include '/etc/passwd' %}",
    "Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a deep nest": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "a long template": "x" * 1_000_001,
}


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_an_error_at_once(template: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(Exception):  # noqa: B017, PT011  of whatever kind: the caller makes one line of it
        render(template, question="q" * 20_000)
    assert time.process_time() - began < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_template_that_stays_below_its_budget_by_a_little_is_soon_done() -> None:
    """What costs most for what it spends: many steps over long texts."""
    code = (
        "from maestro_eval.text.templates import render\nimport time\n"
        'template = \'{% for a in range(900) %}{% if question == other or "qz" in question %}{% endif %}'
        "{% endfor %}'\n"
        "render(template, question='q' * 1_000_000, other='q' * 999_999 + 'r')\n"
        # Not ru_maxrss: a child begins with its parent's.
        "print(time.process_time(), open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    seconds, kilobytes = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(seconds) < 10
    assert int(kilobytes) < 200 << 10


def test_text_of_the_length_of_a_long_document_is_filled_in() -> None:
    assert len(render("{{ question }}\n{{ question }}", question="q" * (BUDGET // 2 - 1))) == BUDGET - 1


def test_a_variable_that_nothing_fills_is_found_in_every_branch() -> None:
    assert unfilled("{% if a %}{{ b }}{% else %}{{ c }}{% endif %}", {"a"}) == ["b", "c"]
    with pytest.raises(jinja2.UndefinedError):
        render("{{ b }}")
