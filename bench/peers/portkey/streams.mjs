// Without this the gateway answers 500 to every stream on Node: it adds headers to the provider's answer, which fetch gives out unchangeable
// (its issue 1389). A copy of the answer may be changed. Loaded for streams alone, so calls are measured as the package is.
const plain = globalThis.fetch;
globalThis.fetch = async (...call) => {
  const answer = await plain(...call);
  return new Response(answer.body, answer);
};
