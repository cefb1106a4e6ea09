"""Azure LLM inference traces of 2023 and 2024.

Times are dates: local with seven-digit fractions in 2023, with an offset from UTC in 2024.

Source: Azure/AzurePublicDataset, AzureLLMInferenceDataset2023.md and 2024.md.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import date

AZURE = Layout(
    name="azure",
    style="csv",
    arrival="TIMESTAMP",
    clock=date,
    prompt="ContextTokens",
    output="GeneratedTokens",
)
