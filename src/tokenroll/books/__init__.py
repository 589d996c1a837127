"""The papers: journals, reconciliation, tax, payroll, statements and commitments in the words of their readers."""
