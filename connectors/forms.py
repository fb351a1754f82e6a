"""Form fields shared by the admin pages."""

from typing import Any

from django import forms

from connectors import formats


class _TypedFormField(forms.CharField):
    """A value that people type as text."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """As they are written: 19.90 and 19.9 are the same number and not the same digits, and 1 is not true."""
        try:
            return formats.dump(self.to_python(data)) != formats.dump(None if initial == "" else initial)
        except forms.ValidationError:
            return True


class ExactJSONFormField(_TypedFormField):
    """JSON in a text area: shown indented, read strictly, digits kept. Empty means None."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else formats.dump_pretty(value)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if not text.strip():
            return None
        try:
            return formats.parse(text.encode())
        except formats.MalformedBody as error:
            raise forms.ValidationError(f"This is not valid JSON: {error}") from error


class LinesFormField(_TypedFormField):
    """An object of names and values, a line for each: `order = customer.id`. JSON is taken, too. Empty means None.

    `make` and `show` turn the text behind the sign into a value and back.
    """

    widget = forms.Textarea
    default_error_messages = {"line": "Line %(number)s has no “=” between a name and a value."}

    def show(self, value: Any) -> str:
        return str(value)

    def make(self, text: str) -> Any:
        return text

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value if value is None or isinstance(value, str) else formats.dump_pretty(value)
        return "\n".join(f"{name} = {self.show(one)}" for name, one in value.items())

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").strip()
        if not text:
            return None
        if text[0] in "{[":
            return ExactJSONFormField().to_python(text)
        found: dict[str, Any] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            name, sign, rest = (part.strip() for part in line.partition("="))
            if line.strip() and not (name and sign and rest):
                raise forms.ValidationError(self.error_messages["line"], code="line", params={"number": number})
            if name in found:
                raise forms.ValidationError(f"Line {number}: {name} is there already.")
            if line.strip():
                found[name] = self.make(rest)
        return found


class ListsFormField(LinesFormField):
    """The same with lists behind the sign: `success = 409, 404`. Whole numbers become numbers."""

    def show(self, value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    def make(self, text: str) -> Any:
        parts = [part.strip() for part in text.split(",")]
        return [int(part) if part.isdecimal() else part for part in parts if part]


class NamesFormField(_TypedFormField):
    """A list of names with commas between them. JSON is taken, too. Empty means None."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").strip()
        if text.startswith("["):
            return ExactJSONFormField().to_python(text)
        return [name for part in text.split(",") if (name := part.strip())] or None
