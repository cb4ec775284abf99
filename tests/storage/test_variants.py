from openpns.storage.store import variant_name
from openpns.storage.variants import variants

TEXT = """-- What it is for.
-- variants: [id] [name] (oldest newest)
SELECT a
WHERE b = :b
    AND id = :id --? id
    AND name = :name --? name
    AND one --? id/name
    AND none --? -id -name
ORDER BY s --? oldest
ORDER BY s DESC --? newest
ORDER BY name, s DESC --? name newest"""


def test_a_text_without_choices_is_one_statement() -> None:
    assert list(variants("thing_find", "SELECT 1")) == [("thing_find", "SELECT 1")]


def test_each_choice_is_a_statement_with_its_own_lines() -> None:
    made = dict(variants("thing_find", TEXT))
    assert len(made) == 8
    assert made[variant_name("thing_find", {"oldest"})].splitlines()[2:] == [
        "SELECT a", "WHERE b = :b", "    AND none", "ORDER BY s",
    ]  # fmt: skip
    assert made["thing_find:id+name+newest"].splitlines()[2:] == [
        "SELECT a", "WHERE b = :b", "    AND id = :id", "    AND name = :name", "    AND one",
        "ORDER BY s DESC", "ORDER BY name, s DESC",
    ]  # fmt: skip


def test_a_name_does_not_depend_on_the_order_of_its_choices() -> None:
    assert variant_name("x", ["b", "a"]) == variant_name("x", ("a", "b")) == "x:a+b"
