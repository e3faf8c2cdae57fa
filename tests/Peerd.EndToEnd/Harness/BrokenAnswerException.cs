namespace Peerd.EndToEnd.Harness;

/// <summary>
/// An answer that a real client takes for good although it is not: what it reads is wrong, or an image does not open. There
/// is no second try after it.
/// </summary>
internal sealed class BrokenAnswerException(string message, Exception? inner = null) : Exception(message, inner);
