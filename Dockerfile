FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY gen gen
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production PROMPTD_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY prompts prompts
RUN install -d -o node -g node -m 0700 /data
USER node
VOLUME /data
EXPOSE 50051 8080
ENTRYPOINT ["node", "dist/src/main.js"]
CMD ["serve"]
