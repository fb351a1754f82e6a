"""Form fields shared by the admin pages."""

from typing import Any

from django import forms

from connectors import formats


class ExactJSONFormField(forms.CharField):
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

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (None if initial == "" else initial))
        except forms.ValidationError:
            return True
