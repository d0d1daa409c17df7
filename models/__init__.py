"""The models that come with stancewire: one folder each."""
