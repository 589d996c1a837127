"""The questions: forecast, runway, waste, equity, effect, scorecard and unit economics, all computed from usage."""
